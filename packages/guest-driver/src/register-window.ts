import { CAP, decode, decodeCapabilities, ECAP, encode, Offset, toQwords } from "@viommu/vtd-spec";
import type { Capabilities, FieldName, RegisterLayout } from "@viommu/vtd-spec";
import { hex, noUnit } from "./errors.ts";
import type { MmioBus } from "./mmio-bus.ts";

/** The registers of one unit, by the specification's layouts. */
export class RegisterWindow {
  readonly capabilities: Capabilities;
  /** Major version in bits 7:4. */
  readonly version: number;
  readonly #bus: MmioBus;
  readonly #base: number;
  readonly #words = new Int32Array(2);

  /** Reads CAP, ECAP and VER. Throws ERR_VIOMMU_DRIVER_NO_UNIT where no unit answers. */
  constructor(bus: MmioBus, base: number) {
    this.#bus = bus;
    this.#base = base;
    const cap = this.#readQword(CAP);
    const ecap = this.#readQword(ECAP);
    this.version = this.readWord(Offset.VER);
    if (this.version === -1 || this.version === 0) {
      throw noUnit(
        `nothing answers at ${hex(base)}, where the DMAR table has a unit (VER ${hex(this.version >>> 0)})`,
        "put a unit there or correct the table",
      );
    }
    this.capabilities = decodeCapabilities(cap, ecap);
  }

  /** The word at an offset. */
  readWord(offset: number): number {
    this.#bus.read(this.#base + offset, 4, this.#words);
    return this.#words[0]!;
  }

  writeWord(offset: number, value: number): void {
    this.#bus.write(this.#base + offset, 4, value, 0);
  }

  /** The fields of a register, read in one access. */
  read<const L extends RegisterLayout>(register: L): Record<FieldName<L>, bigint> {
    this.#bus.read(this.#base + this.offsetOf(register), register.bits / 8, this.#words);
    return decode(register, this.#words);
  }

  /** Writes a register in one access; fields not given are 0. */
  write<const L extends RegisterLayout>(
    register: L,
    values: Partial<Readonly<Record<FieldName<L>, number | bigint>>>,
  ): void {
    const words = encode(register, values);
    const offset = this.#base + this.offsetOf(register);
    this.#bus.write(offset, words.length * 4, words[0]!, words[1] ?? 0);
  }

  /** Where a register lies, as CAP and ECAP say for those that may be anywhere (VT-d 11.4). */
  offsetOf(register: RegisterLayout): number {
    if (register.base === "IRO") return this.capabilities.IRO * 16 + register.offset;
    if (register.base === "FRO") return this.capabilities.FRO * 16 + register.offset;
    return register.offset;
  }

  #readQword(register: RegisterLayout): bigint {
    this.#bus.read(this.#base + register.offset, 8, this.#words);
    return toQwords(this.#words)[0]!;
  }
}
