FROM a
RUN --[31m=x y
