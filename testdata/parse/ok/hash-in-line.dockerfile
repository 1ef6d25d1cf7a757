FROM a
RUN a # b
ENV A=#x
COPY #a b
