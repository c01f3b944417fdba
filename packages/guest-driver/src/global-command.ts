import { bits, GCMD, GSTS, Offset } from "@viommu/vtd-spec";
import type { FieldName } from "@viommu/vtd-spec";
import { timeout } from "./errors.ts";
import { pollUntil } from "./polling.ts";
import type { Polling } from "./polling.ts";
import type { RegisterWindow } from "./register-window.ts";

/** What software takes over from GSTS into its next command: not the one-shots (VT-d 11.4.4.1). */
const KEPT = 0x96ff_ffff;

/** A command and the status bit that answers it. */
const ANSWER = {
  TE: "TES",
  SRTP: "RTPS",
  WBF: "WBFS",
  QIE: "QIES",
  IRE: "IRES",
  SIRTP: "IRTPS",
  CFI: "CFIS",
} as const satisfies Partial<Record<FieldName<typeof GCMD>, FieldName<typeof GSTS>>>;

type Command = keyof typeof ANSWER;

/**
 * GCMD and GSTS: one bit a time, and on only when GSTS shows that it has taken effect
 * (VT-d 11.4.4.1). Throws ERR_VIOMMU_DRIVER_TIMEOUT.
 */
export class GlobalCommand {
  readonly #registers: RegisterWindow;
  readonly #polling: Polling;
  readonly #unit: string;

  constructor(registers: RegisterWindow, polling: Polling, unit: string) {
    this.#registers = registers;
    this.#polling = polling;
    this.#unit = unit;
  }

  /** Whether GSTS shows a command in effect. */
  isOn(command: Command): boolean {
    const { shift } = bits(GSTS, ANSWER[command]);
    return ((this.#registers.readWord(Offset.GSTS) >>> shift) & 1) === 1;
  }

  /** Switches something on, or latches a table pointer. */
  set(command: Command): void {
    this.#send(command, true);
    this.#wait(command, true);
  }

  clear(command: Command): void {
    this.#send(command, false);
    this.#wait(command, false);
  }

  /** Needed after changes of tables on units with CAP.RWBF (VT-d 6.8): WBFS is set while it lasts. */
  flushWriteBuffer(): void {
    this.#send("WBF", true);
    this.#wait("WBF", false);
  }

  #send(command: Command, on: boolean): void {
    const kept = this.#registers.readWord(Offset.GSTS) & KEPT;
    const bit = 1 << bits(GCMD, command).shift;
    this.#registers.writeWord(Offset.GCMD, on ? kept | bit : kept & ~bit);
  }

  #wait(command: Command, on: boolean): void {
    if (pollUntil(this.#polling, () => this.isOn(command) === on)) return;
    throw timeout(this.#unit, `GSTS.${ANSWER[command]} = ${on ? 1 : 0}`, this.#polling.limit);
  }
}
