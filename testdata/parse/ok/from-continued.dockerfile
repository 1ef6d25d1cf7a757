FROM \
  debian \
  AS base
