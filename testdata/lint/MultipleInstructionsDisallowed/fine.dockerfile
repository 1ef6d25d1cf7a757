FROM a
CMD ["a"]
FROM b
CMD ["b"]
