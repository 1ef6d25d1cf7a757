FROM a
ADD a.tar.gz /
