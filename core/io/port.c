#include "core/io/port.h"

#include <unistd.h>

#include "core/io/socket.h"

int port_check(const struct address *address)
{
    struct udp_config udp;
    struct listener_config listener;
    struct address local;
    int fd;
    if (address->port == 0)
        return 0;
    udp_config_init(&udp);
    udp.address = *address;
    udp.retry_bind = true;
    int error = socket_open_udp(&udp, true, &fd, &local);
    if (error < 0)
        return error;
    (void)close(fd);
    listener_config_init(&listener);
    listener.address = *address;
    listener.retry_bind = true;
    error = socket_open_listener(&listener, true, &fd, &local);
    if (error < 0)
        return error;
    (void)close(fd);
    return 0;
}
