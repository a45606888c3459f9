/* SPDX-License-Identifier: GPL-2.0-or-later
 * Reads memory line by line, never the same line twice: every read is a miss.  Region 1 is around the first half,
 * region 2 around the second. */
#include <stdlib.h>
#include <stramash.h>

enum { LINES = 4096, LINE_BYTES = 64 };

static volatile unsigned char bytes[2][LINES][LINE_BYTES];

static unsigned half(int number)
{
    unsigned sum = 0;

    for (int i = 0; i < LINES; i++)
        sum += bytes[number][i][0];
    return sum;
}

int main(void)
{
    unsigned sum = 0;

    for (int number = 0; number < 2; number++) {
        region_begin(number + 1);
        sum += half(number);
        region_end(number + 1);
    }
    return sum != 0;
}
