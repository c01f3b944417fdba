import { badValue, show } from "./errors.ts";
import type { Field } from "./field.ts";
import type { Signal } from "./madt.ts";

const POLARITY = ["CONFORMS", "ACTIVE_HIGH", undefined, "ACTIVE_LOW"] as const;
const TRIGGER = ["CONFORMS", "EDGE", undefined, "LEVEL"] as const;

const names = ([one, two, , three]: typeof POLARITY | typeof TRIGGER): string =>
  `${one}, ${two} or ${three}`;

/** The MPS INTI flags: polarity in bits 1:0, trigger mode in bits 3:2 (ACPI 5.2.12.5). */
export const signal: Field<Signal> = {
  size: 2,
  read(cursor) {
    const offset = cursor.offset;
    const word = cursor.uint(2);
    const polarity = POLARITY[word & 3];
    const trigger = TRIGGER[(word >> 2) & 3];
    if (polarity === undefined) cursor.report(offset, "polarity 2 is reserved");
    if (trigger === undefined) cursor.report(offset, "trigger mode 2 is reserved");
    if (word >> 4 !== 0) cursor.report(offset, `reserved bits ${show(word & 0xfff0)} are set`);
    return { polarity: polarity ?? "CONFORMS", trigger: trigger ?? "CONFORMS" };
  },
  write(out, value, name) {
    const polarity = POLARITY.indexOf(value.polarity);
    const trigger = TRIGGER.indexOf(value.trigger);
    if (polarity < 0) throw badValue(`${name}.polarity`, value.polarity, names(POLARITY));
    if (trigger < 0) throw badValue(`${name}.trigger`, value.trigger, names(TRIGGER));
    out.uint(2, (trigger << 2) | polarity);
  },
};
