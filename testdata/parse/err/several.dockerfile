FORM a
RUN --mont=x y
COPY a
FROM a b
ENV A
