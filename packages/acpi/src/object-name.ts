import { badValue } from "./errors.ts";
import { isPrintable } from "./field.ts";
import type { Field } from "./field.ts";

/** The name of an ACPI object: ASCII, NUL-terminated, to the end of its structure (VT-d 8.7). */
export const objectName: Field<string> = {
  size: 0,
  read(cursor, end) {
    const offset = cursor.offset;
    const all = String.fromCharCode(...cursor.bytes(end - offset));
    const terminator = all.indexOf("\0");
    if (terminator < 0) cursor.report(offset, "the name has no NUL at its end");
    const name = terminator < 0 ? all : all.slice(0, terminator);
    if (!isPrintable(name)) cursor.report(offset, "the name holds other than printable ASCII");
    if (/[^\0]/.test(all.slice(name.length))) cursor.report(offset, "text after the name's NUL");
    return name;
  },
  write(out, value, name) {
    if (!isPrintable(value)) throw badValue(name, value, "printable ASCII");
    for (let i = 0; i < value.length; i++) out.uint(1, value.charCodeAt(i));
    out.uint(1, 0);
  },
};
