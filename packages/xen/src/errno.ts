/**
 * Error numbers of Xen (its public/errno.h). A hypercall returns 0 or one of them negated. ERESTART
 * stays inside Xen itself; here the caller sees it and issues the call again.
 */
export const Errno = {
  /** The caller may not do this to that domain. */
  EPERM: 1,
  /** No such vIOMMU, drain ticket, or no vIOMMU above that device. */
  ENOENT: 2,
  /** No such domain. */
  ESRCH: 3,
  /** The domain has as many vIOMMUs, or the list as many devices, as it may have. */
  E2BIG: 7,
  /** The domain's quota of memory is used up. */
  ENOMEM: 12,
  /** A pointer leads to no readable and writable memory of the caller. */
  EFAULT: 14,
  /** A place or a device is taken, or the vIOMMU is in use by its guest. */
  EBUSY: 16,
  EINVAL: 22,
  /** No such operation, or the domain has no vIOMMUs at all. */
  ENOSYS: 38,
  /** More is to be done: issue the call again as it stands. */
  ERESTART: 85,
} as const;
