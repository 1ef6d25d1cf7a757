FROM a
COPY $SRC/${X:-y}.txt /$DST/
