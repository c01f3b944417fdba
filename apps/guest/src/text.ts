/** A whole number with commas between groups of three digits. */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** "1 event", "2,000 events". */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Breaks a text between words into lines of at most `columns`, each behind `indent`. */
export function wrap(text: string, columns: number, indent: string): string {
  const lines = [indent];
  for (const word of text.split(" ")) {
    const last = lines.at(-1)!;
    const next = last.trim() === "" ? last + word : `${last} ${word}`;
    if (next.length <= columns || last.trim() === "") lines[lines.length - 1] = next;
    else lines.push(indent + word);
  }
  return lines.join("\n");
}
