FROM a
CMD ["x"]
ENTRYPOINT ["y"]
