FROM a
ENV A="b c
ENV D='e
