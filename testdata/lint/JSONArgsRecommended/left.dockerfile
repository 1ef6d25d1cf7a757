FROM a
CMD echo hello
FROM a
CMD exec cd /
FROM a
CMD serve --port=$PORT
FROM a
CMD "serve" "$PORT"
FROM a
CMD DEBUG=1 serve
FROM a
CMD migrate && serve
FROM a
CMD serve *.conf
FROM a
CMD serve 'it
FROM a
CMD serve it\'s
FROM a
CMD serve \
  # Goes over lines.
  here
FROM a
CMD exec -a name serve
FROM a
ENTRYPOINT exec
FROM a
ENTRYPOINT serve
CMD ["--verbose"]
FROM a AS base
ENTRYPOINT ["serve"]
FROM base
CMD status
FROM a AS parent
ENTRYPOINT serve
FROM parent
CMD status
