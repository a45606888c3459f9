/* NPB IS whose rankings run on the newest node there is, so that one which joins takes over. */
#include <npb.h>

static int newest(void)
{
    int node = current_node();

    for (int other = 0; other < 16; other++)
        if (node_available(other))
            node = other;
    return node;
}

#define npb_work(target, function, argument) npb_work(newest(), function, argument)
#include "../../../launch/guests/is.c"
