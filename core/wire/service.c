#include "core/wire/service.h"

static bool service_character_valid(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

bool service_name_valid(const char *name, size_t length)
{
    if (length == 0 || length > SERVICE_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!service_character_valid(name[i]))
            return false;
    return true;
}
