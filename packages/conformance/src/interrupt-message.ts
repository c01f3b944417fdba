/** What an interrupt is for its receivers. */
export interface Interrupt {
  /** Physical or logical destination, 32 bits unsigned. */
  readonly destination: number;
  readonly logical: boolean;
  /** Redirection hint: one of the addressed takes it. */
  readonly redirect: boolean;
  /** Delivery mode, one of `DeliveryMode`. */
  readonly mode: number;
  readonly vector: number;
  /** Level-triggered. */
  readonly level: boolean;
}

/** An edge-triggered fixed interrupt for one physical destination. */
export function unicast(destination: number, vector: number): Interrupt {
  return { destination, logical: false, redirect: false, mode: 0, vector, level: false };
}

/** The three words of a message, as signed 32-bit ints: the arguments of InterruptSink.deliver. */
export interface MessageWords {
  readonly upper: number;
  readonly address: number;
  readonly data: number;
}

/** The message of an interrupt, in the form an MSI has. */
export function messageOf(interrupt: Interrupt): MessageWords {
  const { destination, logical, redirect, mode, vector, level } = interrupt;
  return {
    upper: destination & ~0xff,
    address: (0xfee << 20) | ((destination & 0xff) << 12) | (redirect ? 8 : 0) | (logical ? 4 : 0),
    data: vector | (mode << 8) | (level ? 0xc000 : 0),
  };
}

/** The interrupt in words, for findings. */
export function describeInterrupt(interrupt: Interrupt): string {
  const { destination, logical, redirect, mode, vector, level } = interrupt;
  return [
    `delivery mode ${mode}`,
    `vector 0x${vector.toString(16)}`,
    level ? "level" : "edge",
    `${logical ? "logical" : "physical"} destination 0x${destination.toString(16)}`,
    ...(redirect ? ["redirection hint"] : []),
  ].join(", ");
}
