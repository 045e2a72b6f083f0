FROM ubuntu:${}
