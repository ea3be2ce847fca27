"""Makes a C file of a text: embed_text.py TEXT C_FILE NAME defines `const unsigned char NAME[]` and `const size_t NAME_bytes`."""
import sys


def main():
    with open(sys.argv[1], "rb") as f:
        data = f.read()
    rows = [", ".join(str(byte) for byte in data[i:i + 24]) for i in range(0, len(data), 24)]
    with open(sys.argv[2], "w", encoding="ascii") as f:
        f.write("#include <stddef.h>\n\nextern const unsigned char %s[];\nextern const size_t %s_bytes;\n" % (sys.argv[3], sys.argv[3]))
        f.write("const unsigned char %s[] = {%s};\nconst size_t %s_bytes = %d;\n" % (sys.argv[3], ",\n    ".join(rows), sys.argv[3], len(data)))


main()
