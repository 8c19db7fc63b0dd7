# The Rosenbrock function with coefficient 100 of the numbers in the file, one a line; its minimum is 0, at (1, ..., 1).
{ x[NR] = $1 }
END {
    for (i = 1; i < NR; i++)
        sum += 100 * (x[i + 1] - x[i] ^ 2) ^ 2 + (1 - x[i]) ^ 2
    printf "%.17g\n", sum
}
