ARG A
ARG B=1 C="two words"
FROM a:$B
