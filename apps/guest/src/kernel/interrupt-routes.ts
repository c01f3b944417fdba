import type { InterruptBlock, MmioBus } from "@viommu/guest-driver";
import type { MsixCapability } from "@viommu/irq-hooks";

/** Where an interrupt goes. */
interface Target {
  readonly apicId: number;
  readonly vector: number;
}

/** How the kernel points an interrupt of a device to a processor. */
export interface InterruptPath {
  /** From its return on, the interrupt arrives there. */
  point(target: Target): void;
  /** The interrupt was served; `vector` is where `point` has pointed it last. */
  end(vector: number): void;
}

const MSIX_ENTRY = 16;
const MSIX_CONTROL = 12;
const VECTOR_MASKED = 1;

/** A vector of MSI-X. With a remapping entry the message names that; without, the processor. */
export function msixPath(
  bus: MmioBus,
  msix: MsixCapability,
  vector: number,
  block: InterruptBlock | null,
): InterruptPath {
  const entry = msix.table.base + vector * MSIX_ENTRY;
  const write = (address: number, data: number): void => {
    bus.write(entry + MSIX_CONTROL, 4, VECTOR_MASKED, 0);
    bus.write(entry, 8, address | 0, 0);
    bus.write(entry + 8, 4, data, 0);
    bus.write(entry + MSIX_CONTROL, 4, 0, 0);
  };
  let told = false;
  return {
    point(target) {
      if (block === null) {
        write(0xfee0_0000 | (extendedDestination(target.apicId) << 4), target.vector);
        return;
      }
      block.route(0, target);
      if (told) return;
      const { address, data } = block.message(0);
      write(address, data);
      told = true;
    },
    end: () => undefined,
  };
}

const SELECT = 0x00;
const WINDOW = 0x10;
const EOI = 0x40;
const ENTRIES = 0x10;
const MASKED = 0x1_0000;
const LEVEL = 0x8000;

/** A pin of an I/O APIC, and how it is wired. */
export interface PinPlace {
  /** Registers of the I/O APIC. */
  readonly base: number;
  readonly pin: number;
  readonly trigger: "edge" | "level";
}

/**
 * A pin of an I/O APIC. The kernel ends levels by the EOI register, which finds them by the vector of
 * the entry: of the target without a remapping entry, and the pin's number with one, as Linux has it.
 */
export function pinPath(
  bus: MmioBus,
  { base, pin, trigger }: PinPlace,
  block: InterruptBlock | null,
): InterruptPath {
  const writeRegister = (index: number, value: number): void => {
    bus.write(base + SELECT, 4, index, 0);
    bus.write(base + WINDOW, 4, value, 0);
  };
  const write = (low: number, high: number): void => {
    const index = ENTRIES + 2 * pin;
    writeRegister(index, low | MASKED);
    writeRegister(index + 1, high);
    writeRegister(index, low);
  };
  let told = false;
  return {
    point(target) {
      if (block === null) {
        const mode = trigger === "level" ? LEVEL : 0;
        write(mode | target.vector, extendedDestination(target.apicId) << 16);
        return;
      }
      block.route(0, target);
      if (told) return;
      told = true;
      const { low, high } = block.redirectionEntry(pin, {
        trigger,
        polarity: "high",
        masked: false,
      });
      write(low, high);
    },
    end(vector) {
      if (trigger === "level") bus.write(base + EOI, 4, block === null ? vector : pin, 0);
    },
  };
}

/**
 * Bits 19:4 of a message in compatibility format: destination 7:0 at 19:12, and with extended
 * destination ids 14:8 at 11:5. Redirection entries have the same in bits 63:48.
 */
function extendedDestination(apicId: number): number {
  return ((apicId & 0xff) << 8) | (((apicId >> 8) & 0x7f) << 1);
}
