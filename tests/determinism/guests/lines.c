/* Prints lines, and computes a little before each.  Argument: how many. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    int lines = argc > 1 ? atoi(argv[1]) : 10;

    for (int line = 0; line < lines; line++) {
        for (volatile int i = 0; i < 1000; i++)
            ;
        printf("line %d\n", line);
        fflush(stdout);
    }
    return 0;
}
