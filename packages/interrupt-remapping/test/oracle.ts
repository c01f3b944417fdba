/*
 * Interrupt remapping once more, slowly: one 128-bit or 512-bit number for each structure, the steps
 * in the order of VT-d 5.1.4 and 5.2.3. Shares nothing with the engine.
 */

/** What a case consists of, besides the contents of memory. */
export interface Machine {
  readonly posting: boolean;
  readonly extendedRequired: boolean;
  readonly remappingRequired: boolean;
  readonly hostAddressWidth: number;
  readonly enabled: boolean;
  readonly compatibility: boolean;
  readonly extended: boolean;
  readonly table: bigint;
  readonly entries: bigint;
  /** The little-endian number in `bytes` bytes; null when one of them is no memory. */
  read(address: bigint, bytes: number): bigint | null;
  writable(address: bigint): boolean;
}

export interface Asked {
  readonly sourceId: bigint;
  readonly address: bigint;
  readonly data: bigint;
}

/** Upper address, address and data of a message. */
export type Message = readonly [bigint, bigint, bigint];

export type Answer =
  | { readonly kind: "message"; readonly message: Message }
  | {
      readonly kind: "fault";
      readonly reason: number;
      readonly index: number;
      readonly fpd: boolean;
    }
  | {
      readonly kind: "posted";
      readonly descriptor: bigint;
      readonly contents: bigint;
      readonly event: Message | null;
    };

const field = (value: bigint, high: number, low: number): bigint =>
  (value >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);

const isSet = (value: bigint, bit: number): boolean => field(value, bit, bit) === 1n;

const message = (
  destination: bigint,
  flags: bigint,
  vector: bigint,
  mode: bigint,
  level: bigint,
): Message => [
  (destination >> 8n) << 8n,
  0xfee00000n + field(destination, 7, 0) * 0x1000n + flags,
  vector + mode * 0x100n + 0x4000n + level * 0x8000n,
];

export function answer(machine: Machine, asked: Asked): Answer {
  const { address, data } = asked;
  const fault = (reason: number, index = -1n, fpd = false): Answer => ({
    kind: "fault",
    reason,
    index: Number(index),
    fpd,
  });
  const unchanged: Answer = {
    kind: "message",
    message: [0n, field(address, 31, 0), data],
  };
  if (field(address, 63, 20) !== 0xfeen) return fault(0x29);
  if (!machine.enabled) return machine.remappingRequired ? fault(0x2b) : unchanged;
  if (machine.extendedRequired && !machine.extended) return fault(0x2a);
  if (!isSet(address, 4)) {
    if (machine.extended) return fault(0x25);
    if (!machine.compatibility) return fault(0x25);
    return unchanged;
  }
  let index = field(address, 19, 5) + field(address, 2, 2) * 0x8000n;
  if (isSet(address, 3)) {
    if (field(data, 31, 16) !== 0n) return fault(0x20);
    index += field(data, 15, 0);
  }
  if (index >= machine.entries) return fault(0x21, index);
  const place = machine.table + index * 16n;
  if (place >> BigInt(machine.hostAddressWidth) !== 0n) return fault(0x21, index);
  const entry = machine.read(place, 16);
  if (entry === null) return fault(0x23, index);
  const qualified = (reason: number): Answer => fault(reason, index, isSet(entry, 1));
  if (!isSet(entry, 0)) return qualified(0x22);

  const sid = field(entry, 79, 64);
  switch (field(entry, 83, 82)) {
    case 1n: {
      const compared = [0xffffn, 0xfffbn, 0xfff9n, 0xfff8n][Number(field(entry, 81, 80))]!;
      if ((sid & compared) !== (asked.sourceId & compared)) return qualified(0x26);
      break;
    }
    case 2n: {
      const bus = field(asked.sourceId, 15, 8);
      if (bus < field(sid, 15, 8) || bus > field(sid, 7, 0)) return qualified(0x26);
      break;
    }
    case 3n:
      return qualified(0x24);
    default:
  }

  if (isSet(entry, 15) && !machine.posting) return qualified(0x24);
  return isSet(entry, 15)
    ? post(machine, entry, qualified)
    : remap(machine, entry, address, qualified);
}

function remap(
  machine: Machine,
  entry: bigint,
  address: bigint,
  qualified: (reason: number) => Answer,
): Answer {
  const mode = field(entry, 7, 5);
  const reserved = [field(entry, 127, 84), field(entry, 31, 24), field(entry, 14, 12)];
  if (!machine.extended) reserved.push(field(entry, 63, 48), field(entry, 39, 32));
  if (reserved.some((bits) => bits !== 0n) || mode === 3n || mode === 6n) return qualified(0x24);
  const destination = machine.extended ? field(entry, 63, 32) : field(entry, 47, 40);
  const flags = field(entry, 3, 3) * 8n + field(entry, 2, 2) * 4n + field(address, 1, 0);
  const vector = field(entry, 23, 16);
  return {
    kind: "message",
    message: message(destination, flags, vector, mode, field(entry, 4, 4)),
  };
}

function post(machine: Machine, entry: bigint, qualified: (reason: number) => Answer): Answer {
  const descriptor = field(entry, 63, 38) * 64n + (field(entry, 127, 96) << 32n);
  const reserved = [
    field(entry, 95, 84),
    field(entry, 37, 24),
    field(entry, 13, 12),
    field(entry, 7, 2),
    descriptor >> BigInt(machine.hostAddressWidth),
  ];
  if (reserved.some((bits) => bits !== 0n)) return qualified(0x24);
  const found = machine.read(descriptor, 64);
  if (found === null) return qualified(0x27);
  const wrong = [field(found, 511, 320), field(found, 287, 280), field(found, 271, 258)];
  if (!machine.extended) wrong.push(field(found, 319, 304), field(found, 295, 288));
  if (wrong.some((bits) => bits !== 0n)) return qualified(0x28);
  if (!machine.writable(descriptor)) return qualified(0x27);

  const urgent = isSet(entry, 14);
  const requested = found | (1n << field(entry, 23, 16));
  const due = !isSet(found, 256) && (urgent || !isSet(found, 257));
  if (!due) return { kind: "posted", descriptor, contents: requested, event: null };
  const destination = machine.extended ? field(found, 319, 288) : field(found, 303, 296);
  return {
    kind: "posted",
    descriptor,
    contents: requested | (1n << 256n),
    event: message(destination, 0n, field(found, 279, 272), 0n, 0n),
  };
}
