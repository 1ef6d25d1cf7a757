FROM a
RUN apt-get update && echo "$HOME" 'x'
