FROM a
MAINTAINER Some "One" <a@b.c>
