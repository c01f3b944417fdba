/** BAR 0 of all devices of this machine has 64 KiB; this many of them are registers. */
export const REGISTER_BYTES = 0x8000;
/** The MSI-X vector table. */
export const MSIX_TABLE = 0x8000;
/** The MSI-X pending bits. */
export const MSIX_PENDING = 0xa000;

/** Registers that all devices have. */
export const DeviceRegister = {
  /** Queues with news, one bit each; reading takes the line of a pin back. */
  CAUSE: 0x04,
  /** Number of queues. */
  QUEUES: 0x08,
} as const;

/** Registers of the first queue. */
export const QUEUE_BASE = 0x4000;
/** From the registers of a queue to those of the next one. */
export const QUEUE_STRIDE = 0x40;

/** Registers of a ring, from its first one on. */
export const RingRegister = {
  /** 8 bytes: I/O virtual address of the first descriptor. */
  BASE: 0x00,
  /** Descriptors, up to {@link MAX_RING}. */
  SIZE: 0x08,
  /** Descriptors made by the driver, modulo 2^32. Writing it tells the device. */
  TAIL: 0x0c,
} as const;

/** Most descriptors of a ring. */
export const MAX_RING = 256;

/** NIC: rings of a queue. Buffers for what arrives, and packets to send. */
export const NicRing = { RECEIVE: 0x00, TRANSMIT: 0x10 } as const;

/** NIC descriptor, 16 bytes. */
export const NicDescriptor = {
  BYTES: 16,
  /** 8 bytes: I/O virtual address of the buffer. */
  ADDRESS: 0,
  /** Bytes to send, or room; after reception the bytes that came. */
  LENGTH: 8,
  /** {@link Status}, written by the device. */
  STATUS: 12,
} as const;

/** The largest packet. */
export const MAX_PACKET = 2048;

/** Block device: register with the number of sectors, and its only ring. */
export const BlockRegister = { SECTORS: 0x10 } as const;

/** Bytes of a sector. */
export const SECTOR = 512;

/** Block request, 32 bytes. */
export const BlockRequest = {
  BYTES: 32,
  /** One of {@link BlockOperation}. */
  OPERATION: 0,
  /** Number of sectors. */
  COUNT: 4,
  SECTOR: 8,
  /** 8 bytes: I/O virtual address of the scatter-gather list. */
  LIST: 16,
  /** Its entries, up to {@link MAX_SEGMENTS}. */
  SEGMENTS: 24,
  STATUS: 28,
} as const;

/** What a block request asks for. */
export const BlockOperation = { READ: 1, WRITE: 2 } as const;

/** Entry of a scatter-gather list, 16 bytes: address, length, nothing. */
export const Segment = { BYTES: 16, ADDRESS: 0, LENGTH: 8 } as const;

/** Most entries of a scatter-gather list. */
export const MAX_SEGMENTS = 16;

/** Copy descriptor of an accelerator, 32 bytes. */
export const CopyDescriptor = {
  BYTES: 32,
  /** Whose addresses these are, 20 bits. */
  PASID: 0,
  LENGTH: 4,
  /** 8 bytes each. */
  SOURCE: 8,
  TARGET: 16,
  /** {@link Status}, written by the device. */
  STATUS: 24,
} as const;

/** Timer: 8 bytes, the I/O virtual address of a word that counts ticks; 0: it does not tick. */
export const TimerRegister = { COUNT_ADDRESS: 0x10 } as const;

/** Status words that devices write. */
export const Status = { DONE: 1, FAILED: 2 } as const;
