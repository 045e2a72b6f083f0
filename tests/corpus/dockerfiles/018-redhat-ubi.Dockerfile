FROM registry.access.redhat.com/ubi9/ubi:9.4 AS prep
RUN dnf -y --installroot /mnt/rootfs install glibc-minimal-langpack && dnf clean all --installroot /mnt/rootfs

FROM registry.access.redhat.com/ubi9/ubi-micro:9.4
COPY --from=prep /mnt/rootfs/ /
