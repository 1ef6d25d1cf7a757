# check=skip=MultipleInstructionsDisallowed
FROM a
CMD ["x"]
CMD ["y"]
