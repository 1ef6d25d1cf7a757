FROM debian AS base
