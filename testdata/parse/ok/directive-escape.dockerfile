# escape=`
FROM a
RUN dir c:\ `
  && x
COPY a` b c:\\d /
ENV A=`"x B=c:\
