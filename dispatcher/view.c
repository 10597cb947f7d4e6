#include "dispatcher/view.h"

#include <errno.h>
#include <stdlib.h>

int view_new(struct snapshot *snapshot, struct location *location, struct view **ret_view)
{
    struct view *view = calloc(1, sizeof(*view));
    if (!view)
        return -ENOMEM;
    view->snapshot = snapshot;
    view->location = location;
    view->gone.slot = MEMBER_LINK_NONE;
    *ret_view = view;
    return 0;
}

void view_free(struct view *view)
{
    if (view->retires_snapshot)
        snapshot_free(view->snapshot);
    if (view->members)
        members_reclaim(view->members, &view->gone);
    if (view->retires_location)
        location_free(view->location);
    region_table_free(view->retired_table);
    free(view);
}

void view_release(struct retired *retired)
{
    view_free((struct view *)(void *)retired);
}
