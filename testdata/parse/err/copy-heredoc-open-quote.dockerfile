FROM a
COPY <<EOF it's /x
