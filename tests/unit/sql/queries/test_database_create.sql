CREATE DATABASE picket_test
