# Makes disk.csv: awk -f disk.awk > disk.csv
#
# How full a disk is, in percent, every ten minutes of six days: data that grows by day and hardly by night, logs that are rotated at
# midnight, a little noise; and twice something that writes without end, on the third day and the sixth, until somebody clears it away.
# The label is 1 while there is too little left: above 90.
BEGIN {
    print "timestamp,value,label"
    seed = 7
    for (row = 0; row < 864; row++) {
        day = int(row / 144)
        minute = (row % 144) * 10
        # 0 to 1, by a generator that every awk computes alike.
        seed = (seed * 16807) % 2147483647
        noise = (seed / 2147483647 - 0.5) * 0.6
        by_day = minute < 480 ? 0 : minute < 1200 ? (minute - 480) / 720 : 1
        used = 58 + day * 0.8 + 6 * by_day + noise
        runaway = 0
        if (day == 2 && minute >= 540 && minute < 1150) runaway = (minute - 540) / 600 * 31
        if (day == 5 && minute >= 180 && minute < 960) runaway = (minute - 180) / 740 * 33
        used += runaway
        printf "2026-11-%02dT%02d:%02d:00Z,%.2f,%d\n", 16 + day, int(minute / 60), minute % 60, used, (used > 90)
    }
}
