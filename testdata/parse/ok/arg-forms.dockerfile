FROM a
ARG A
ARG B=
ARG C=$A D="x y" E
