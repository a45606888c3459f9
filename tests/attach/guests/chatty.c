/* Prints a line, and then computes for so long that whoever hears it can act. */
#include <stdio.h>
#include <stramash.h>

int main(void)
{
    puts("here");
    fflush(stdout);
    for (volatile long i = 0; i < 2000000000; i++)
        ;
    return 0;
}
