FROM a
USER --x=y a
ENV --a B=c
WORKDIR --parents /x
