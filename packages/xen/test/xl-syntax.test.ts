import { describe, expect, it } from "vitest";
import { parseXlConfig, plainXlValue, XlError } from "@viommu/xen";
import type { XlPlain, XlProblem } from "@viommu/xen";

function settings(text: string): Record<string, XlPlain> {
  const entries = [...parseXlConfig(text).settings];
  return Object.fromEntries(entries.map(([name, { value }]) => [name, plainXlValue(value)]));
}

function problems(text: string): readonly XlProblem[] {
  try {
    parseXlConfig(text);
  } catch (error) {
    if (error instanceof XlError) return error.problems;
    throw error;
  }
  return [];
}

describe("settings", () => {
  it.each<[string, string, Record<string, XlPlain>]>([
    ["nothing", "", {}],
    ["blank lines and comments", "\n # a\n\t\n#b\n", {}],
    ["a comment that ends the file", "a = 1 # one", { a: "1" }],
    ["both quotes", `a = "x'y"\nb = 'x"y'`, { a: "x'y", b: 'x"y' }],
    ["a # in quotes", "a = '#1'", { a: "#1" }],
    ["semicolons", ";a=1;;b=2;", { a: "1", b: "2" }],
    ["names with dots, digits and _", "a.b_1=1", { "a.b_1": "1" }],
    ["numbers as they stand", "a=10\nb=0x1f\nc=017", { a: "10", b: "0x1f", c: "017" }],
    ["escapes", String.raw`a="\"\'\\\a\b\f\n\r\t\v"`, { a: "\"'\\\x07\b\f\n\r\t\v" }],
    ["an empty list", "a = [ ]", { a: [] }],
    ["a list over lines, with comments", "a = [ # x\n\n1\n,\n2, # y\n\n]", { a: ["1", "2"] }],
    ["lists in lists", "a = [[1,2,],['x'],[]]", { a: [["1", "2"], ["x"], []] }],
    ["other alphabets in quotes", "a = 'größe ☂'", { a: "größe ☂" }],
  ])("%s", (_, text, expected) => {
    expect(settings(text)).toEqual(expected);
  });

  it("the last of two counts, and the others are told", () => {
    const { settings: kept, replaced } = parseXlConfig("a=1\nb=2\na=3");
    expect(plainXlValue(kept.get("a")!.value)).toBe("3");
    expect(replaced).toMatchObject([{ name: "a", line: 1, column: 1 }]);
  });

  it("+= joins texts, and lists, and is = where there is nothing", () => {
    expect(settings("a='x'\na+='y'\nb=[1]\nb+=[2,[3]]\nc+='z'")).toEqual({
      a: "xy",
      b: ["1", "2", ["3"]],
      c: "z",
    });
  });

  it("places are those of names and values", () => {
    const { settings: found } = parseXlConfig("# x\n  a = [ 'b',\n   7 ]\n");
    expect(found.get("a")).toEqual({
      ...{ name: "a", appended: false, line: 2, column: 3 },
      value: {
        ...{ kind: "list", line: 2, column: 7 },
        items: [
          { kind: "string", text: "b", verbatim: true, line: 2, column: 9 },
          { kind: "number", text: "7", verbatim: true, line: 3, column: 4 },
        ],
      },
    });
  });
});

describe("what xl does not read", () => {
  it.each<[string, string, string]>([
    ["a name alone", "name", '1:5 the end of the file stands where "name" needs its ='],
    ["a value alone", "\n'x'", '2:1 "x" is no name of a setting'],
    ["no value", "a =\nb = 1", "1:4 the end of the line is no value"],
    ["a word as value", "a = true", '1:5 "true" is no value'],
    ["a value on the next line", "a =\n 'x'", "1:4 the end of the line is no value"],
    ["two values", "a = 'x' 'y'", '1:9 "y" stands behind the value'],
    ["two settings without ;", "a = 1 b = 2", '1:7 "b" stands behind the value'],
    ["no closing quote", "a = 'x\nb = 1", "1:5 the string has no closing quote"],
    ["a backslash at the end of a line", "a = 'x\\\ny'", "1:7 a backslash ends the line"],
    ["an unknown escape", String.raw`a = '\q'`, String.raw`1:6 "\\q" is no escape`],
    ["a numeric escape", String.raw`a = 'x\x41'`, "1:7 xl loses the character"],
    ["capitals", "a = True", '1:5 "True" cannot stand here'],
    ["capital hexadecimal digits", "a = 0xFF", '1:7 "FF" cannot stand here'],
    ["a negative number", "a = -1", '1:5 "-1" cannot stand here'],
    ["a number with a unit", "a = 4096M", '1:9 "M" cannot stand here'],
    ["Python", "a = str(1)", '1:5 "str" is no value'],
    ["a carriage return", "a = 1\r\nb = 2", "1:6 the line ends with a carriage return"],
    ["a NUL in a string", "a = 'x\0'", "1:7 a NUL character"],
    ["a comma first in a list", "a = [ , 1 ]", '1:7 "," is no value'],
    ["no comma in a list", "a = [ 1 2 ]", '1:9 "2" stands behind an item of a list'],
    ["no end of a list", "a = [ 1,\n", "2:1 the end of the file is no value"],
    ["a list for a text", "a = 'x'\na += [1]", '2:6 "a" is a text, and this is a list'],
    ["a text for a list", "a = [1]\na += 'x'", '2:6 "a" is a list, and this is none'],
    ["too many lists in lists", `a = ${"[".repeat(40)}`, '1:37 "[" opens a list inside 32'],
  ])("%s", (_, text, expected) => {
    const [first] = problems(text);
    expect(`${first!.line}:${first!.column} ${first!.text}`.slice(0, expected.length)).toBe(
      expected,
    );
    expect(first!.remedy).not.toBe("");
  });

  it("all mistakes are told, one a line, from the next name on", () => {
    const text = "a = yes\nb = [ 'x'\n  'y',\n  'z' ]\nc = 1\nd = 2 3 4\n'e'\nf = g";
    expect(problems(text).map(({ line }) => line)).toEqual([1, 3, 6, 8]);
  });

  it("twenty at most", () => {
    expect(problems("a = yes\n".repeat(100))).toHaveLength(20);
  });

  it("the message is one line: place, what, remedy, and how many more", () => {
    expect(() => parseXlConfig("a = yes\nb = no", "guest.cfg")).toThrow(
      'guest.cfg:1:5: "yes" is no value; put texts in quotes, and write 1 and 0 for yes and no (and 1 more)',
    );
  });
});
