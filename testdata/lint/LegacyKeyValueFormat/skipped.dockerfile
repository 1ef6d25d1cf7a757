FROM a
# check=skip=LegacyKeyValueFormat
ENV A b
ENV C d
