/**
 * `struct viommu_op`, the argument of the hypercall, in the memory of its caller. All fields are
 * little-endian, each naturally aligned; what is not listed is padding and must be 0.
 *
 * ```text
 *  0 u32 cmd            one of SubOp
 *  4 u32 domid          the domain it is about
 *  8 u32 viommu_id      destroy, drained: IN; create: OUT
 * 12 u32 padding
 * 16 ...                by cmd:
 *
 * query                 create                    translate             batch              drained
 * 16 u8  type           16 u8  type               16 struct             16 u64 entries     16 u32 ticket
 * 24 u64 OUT caps       17 u8  flags (bit 0 all)     viommu_translation 24 u32 nr
 * 32 u32 OUT viommus    18 u16 segment                                  28 u32 INOUT done
 * 36 u32 OUT per_call   20 u32 nr_devices
 *                       24 u64 base_address
 *                       32 u64 capabilities
 *                       40 u64 devices (pointer to u16 source-ids)
 * ```
 *
 * `struct viommu_translation`, 48 bytes, inside the operation or in the array of a batch:
 *
 * ```text
 *  0 u16 segment           8 u32 pasid, ~0: none      40 u8  OUT permission
 *  2 u8  bus              12 u32 padding              41 u8  OUT attributes
 *  3 u8  devfn            16 u64 iova                 42 u16 padding
 *  4 u8  access           24 u64 OUT translated_addr  44 s32 OUT status
 *  5 u8  address_type     32 u64 OUT addr_mask
 *  6 u8  flags (bit 0 probe)
 *  7 u8  padding
 * ```
 */
export const OP_BYTES = 64;
/** Bytes of `struct viommu_translation`. */
export const TRANSLATION_BYTES = 48;

/** `cmd`. The first four have the numbers of the design. */
export const SubOp = {
  QUERY_CAPABILITIES: 0,
  CREATE: 1,
  DESTROY: 2,
  /** Translates one DMA of an emulated device. */
  TRANSLATE: 3,
  /** Translates an array; -ERESTART and `done` say that and where it goes on. */
  TRANSLATE_BATCH: 4,
  /** A device model's accesses from before an invalidation are over. */
  DRAINED: 5,
} as const;

/** `type`: whose hardware the unit looks like. */
export const ViommuType = { INTEL_VTD: 0 } as const;

/** Bits of `capabilities`; the first three are those of the design. */
export const ViommuCapability = {
  /** First-stage translation, with PASIDs, in scalable mode. */
  L1_TRANSLATION: 1,
  /** Second-stage translation. */
  L2_TRANSLATION: 2,
  /** Interrupt remapping, with 32-bit destinations. */
  INTERRUPT_REMAPPING: 4,
  /** The guest invalidates after each change, as passed-through devices need it (CAP.CM). */
  CACHING_MODE: 8,
  /** Posted interrupts (CAP.PI). */
  POSTED_INTERRUPTS: 16,
} as const;

/** `permission` of a translation. */
export const Permission = { NONE: 0, READ: 1, WRITE: 2, READ_WRITE: 3 } as const;

/** Byte offsets in `struct viommu_op`. */
export const OpField = {
  CMD: 0,
  DOMID: 4,
  VIOMMU_ID: 8,
  PADDING: 12,
  /** Type of query and create; the record of translate. */
  BODY: 16,
  QUERY: { TYPE: 16, CAPABILITIES: 24, VIOMMUS: 32, PER_CALL: 36 },
  CREATE: {
    TYPE: 16,
    FLAGS: 17,
    SEGMENT: 18,
    DEVICE_COUNT: 20,
    BASE: 24,
    CAPABILITIES: 32,
    DEVICES: 40,
  },
  BATCH: { ENTRIES: 16, COUNT: 24, DONE: 28 },
  DRAINED: { TICKET: 16 },
} as const;

/** Bit 0 of create's `flags`: all devices of the segment that no other vIOMMU lists. */
export const ALL_DEVICES = 1;
/** Bit 0 of a translation's `flags`: no effect on the vIOMMU (nothing recorded, cached or marked). */
export const PROBE = 1;

/** Byte offsets in `struct viommu_translation`. */
export const TranslationField = {
  SEGMENT: 0,
  BUS: 2,
  DEVFN: 3,
  ACCESS: 4,
  ADDRESS_TYPE: 5,
  FLAGS: 6,
  PADDING: 7,
  PASID: 8,
  PADDING_2: 12,
  IOVA: 16,
  ADDRESS: 24,
  MASK: 32,
  PERMISSION: 40,
  ATTRIBUTES: 41,
  STATUS: 44,
} as const;
