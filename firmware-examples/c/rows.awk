# Turns rows of indices (a row per line, a tab between fields, | inside a bag) into constants of C.
BEGIN { FS = "\t"; print "static const uint32_t row_offsets[] = {0"; }
{
    for (f = 1; f <= NF; f++) {
        count = split($f, bag, "|");
        for (i = 1; i <= count; i++) indices = indices (total++ ? "," : "") bag[i] (total % 32 ? "" : "\n");
        printf ",%d", total;
    }
    print "";
}
END {
    print "};\nstatic const uint32_t row_indices[] = {" indices "};";
    print "#define NUM_ROWS " NR "u";
}
