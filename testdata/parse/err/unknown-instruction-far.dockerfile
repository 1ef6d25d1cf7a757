FROM a
RUN a &&
bundle install
