FROM nginx AS server
CMD nginx -g 'daemon off;'
FROM a AS program
ENTRYPOINT exec ./serve --listen=:80 "it's" ''
FROM program
# check=skip=JSONArgsRecommended
ENTRYPOINT skipped
FROM b
cmd	one	two
