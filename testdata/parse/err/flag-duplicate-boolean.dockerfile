FROM a
COPY --link --link=false a b
