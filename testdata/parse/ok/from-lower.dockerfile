from debian as base
