#!/usr/bin/env python3
"""Tests of tools/check: every rule catches a planted violation and passes what is right."""

import importlib.machinery
import importlib.util
import os
import re
import stat
import tempfile
import unittest
from unittest import mock

CHECK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "check")
loader = importlib.machinery.SourceFileLoader("check", CHECK)
loader_spec = importlib.util.spec_from_loader("check", loader)
check = importlib.util.module_from_spec(loader_spec)
loader.exec_module(check)

HEADER = "/* thing - a header. */\n#pragma once\n"


class TreeTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = folder.name
        self.write("core/base/error.h", HEADER)
        self.write("core/base/log.h", HEADER)
        self.write("core/wire/frame.h", HEADER)
        self.write("rm/store.h", HEADER)
        self.write("client/include/usher/usher.h", HEADER)

    def write(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as stream:
            stream.write(text)
        return full

    def violations(self, path, text):
        """Which rules a tree with this file violates, formatting apart."""
        self.write(path, text)
        tree_rules = [rule for rule in check.TREE_RULES if rule is not check.rule_format]
        return [rule.removeprefix("rule_") for _, _, rule, _ in check.violations_find(self.root, tree_rules=tree_rules)[1]]

    def assert_caught(self, rule, path, text):
        self.assertEqual(self.violations(path, text), [rule])

    def assert_clean(self, path, text):
        self.assertEqual(self.violations(path, text), [])


class IncludeTest(TreeTest):
    def test_room_not_in_table_of_includer_is_caught(self):
        self.assert_caught("include", "core/base/a.c", '#include "core/wire/frame.h"\n')

    def test_daemon_including_another_daemon_is_caught(self):
        self.assert_caught("include", "worker/a.c", '#include "rm/store.h"\n')

    def test_core_including_client_is_caught(self):
        self.assert_caught("include", "core/io/a.c", '#include "usher/usher.h"\n')

    def test_path_not_from_root_is_caught(self):
        self.assert_caught("include", "core/wire/a.c", '#include "frame.h"\n')

    def test_folder_that_is_no_room_is_caught(self):
        self.assert_caught("include", "stray/a.c", "int stray;\n")

    def test_liburing_outside_core_io_is_caught(self):
        self.assert_caught("include", "core/node/loop_uring.c", "#include <liburing.h>\n")

    def test_liburing_in_file_without_uring_in_name_is_caught(self):
        self.assert_caught("include", "core/io/loop.c", "#include <liburing.h>\n")

    def test_hiredis_outside_core_redis_is_caught(self):
        self.assert_caught("include", "rm/a.c", "#include <hiredis/async.h>\n")

    def test_jansson_in_policy_is_caught(self):
        self.assert_caught("include", "core/policy/a.c", "#include <jansson.h>\n")

    def test_http_parser_outside_core_http_is_caught(self):
        self.assert_caught("include", "core/daemon/a.c", "#include <http_parser.h>\n")

    def test_unknown_library_is_caught(self):
        self.assert_caught("include", "rm/a.c", "#include <curl/curl.h>\n")

    def test_log_in_core_is_caught(self):
        self.assert_caught("include", "core/node/a.c", '#include "core/base/log.h"\n')

    def test_allowed_includes_pass(self):
        self.assert_clean("core/wire/a.c", '#include "core/wire/frame.h"\n\n#include <sys/socket.h>\n#include "core/base/error.h"\n')
        self.assert_clean("core/io/loop_uring.c", "#include <liburing.h>\n")
        self.assert_clean("tools/usherctl/a.c", '#include "usher/usher.h"\n#include <jansson.h>\n#include "core/wire/frame.h"\n')
        self.assert_clean("tests/unit/rm/test_a.c", '#include "rm/store.h"\n#include <criterion/criterion.h>\n')


class SizeTest(TreeTest):
    def test_long_line_is_caught(self):
        self.assert_caught("line_length", "rm/a.c", "/* " + "a" * 145 + " */\n")

    def test_long_file_is_caught(self):
        self.assert_caught("file_size", "rm/a.c", "int a;\n" * 501)

    def test_long_script_is_caught(self):
        self.assert_caught("file_size", "tools/script", "#!/bin/bash\n" + "true\n" * 500)

    def test_long_function_is_caught(self):
        self.assert_caught("function_size", "rm/a.c", "int f(void)\n{\n" + "    g();\n" * 59 + "}\n")

    def test_limits_themselves_pass(self):
        self.assert_clean("rm/b.c", "/* " + "α" * 144 + " */\n")
        self.assert_clean("rm/a.c", "int f(void)\n{\n" + "    g();\n" * 58 + "}\n" + "int a;\n" * 439)

    def test_long_initialiser_passes(self):
        self.assert_clean("rm/a.c", "static const int a[] = {\n" + "    1,\n" * 100 + "};\n")


class BannedCallTest(TreeTest):
    def test_each_banned_call_is_caught(self):
        for name in check.BANNED_CALLS:
            with self.subTest(name):
                self.assert_caught("banned_call", "rm/a.c", f"void f(void)\n{{\n    {name}(0);\n}}\n")

    def test_assert_in_product_is_caught(self):
        self.assert_caught("banned_call", "rm/a.c", "void f(void)\n{\n    assert(1);\n}\n")

    def test_sleep_in_unit_test_is_caught(self):
        self.assert_caught("banned_call", "tests/unit/rm/test_a.c", "void f(void)\n{\n    usleep(1);\n}\n")

    def test_name_in_comment_string_or_longer_name_passes(self):
        self.assert_clean("rm/a.c", '/* gets() */\n// system()\nvoid f(void)\n{\n    g("system(1)", \'"\');\n    my_rand(1);\n}\n')

    def test_member_of_that_name_passes(self):
        self.assert_clean("rm/a.c", "void f(struct a *a)\n{\n    a->system(1);\n    a->b.random(2);\n}\n")


class FormTest(TreeTest):
    def test_typedef_struct_is_caught(self):
        self.assert_caught("typedef", "rm/a.c", "typedef struct a b;\n")

    def test_typedef_ending_in_t_is_caught(self):
        self.assert_caught("typedef", "rm/a.c", "typedef int thing_t;\n")

    def test_function_typedef_passes(self):
        self.assert_clean("rm/a.c", "typedef void (*thing_on_event)(int a, uint8_t b);\n")

    def test_header_without_pragma_once_is_caught(self):
        self.assert_caught("header", "rm/a.h", "/* a */\n")

    def test_public_header_may_have_an_include_guard(self):
        self.assert_clean("client/include/usher/more.h", "/* a */\n#ifndef USHER_MORE_H\n#define USHER_MORE_H\n#endif\n")

    def test_header_without_comment_is_caught(self):
        self.assert_caught("header", "rm/a.h", "#pragma once\n/* a */\n")

    def test_table_without_comment_is_caught(self):
        self.write("rm/a.c", "int LATE;\n")
        self.assert_caught("header", "rm/a.def", "ERROR(LATE)\n")

    def test_unfinished_work_is_caught(self):
        for word in ("TO" "DO", "FIX" "ME", "X" "XX"):
            with self.subTest(word):
                self.assert_caught("unfinished", "docs/A.md", f"{word} later\n")

    def test_mktemp_pattern_passes(self):
        self.assert_clean("tools/script", "#!/bin/bash\nmktemp /tmp/a.XXXXXX\n")

    def test_path_of_a_machine_is_caught(self):
        for folder in ("wo" "rk", "ho" "me"):
            with self.subTest(folder):
                self.assert_caught("machine_path", "docs/A.md", f"see /{folder}/me/x\n")

    def test_path_inside_the_tree_passes(self):
        self.assert_clean("docs/A.md", "see tests/wo" "rk/x and ~/wo" "rk\n")


class DocumentTest(TreeTest):
    def test_link_to_missing_file_is_caught(self):
        self.assert_caught("link", "docs/A.md", "[b](B.md)\n")

    def test_link_to_missing_heading_is_caught(self):
        self.assert_caught("link", "docs/A.md", "# One\n[b](#two)\n")

    def test_links_that_lead_somewhere_pass(self):
        self.write("docs/B.md", "# Who may `include` whom\n")
        self.assert_clean("docs/A.md", "# One\n[b](B.md#who-may-include-whom) [c](#one) [d](https://x.example/) [e](../rm/)\n`[f](x)`\n")

    def write_program(self, text):
        path = self.write("build/bin/usher-rm", f"#!/bin/sh\necho {text} $1\n")
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
        return mock.patch.dict(os.environ, {"USHER_BIN": os.path.dirname(path)})

    DOCUMENT = "# One\n<!-- output of: usher-rm --help -->\n```text\nusage --help\n```\n<!-- end of output -->\n"

    def test_output_that_differs_is_caught(self):
        with self.write_program("other"):
            self.assert_caught("program_output", "docs/A.md", self.DOCUMENT)

    def test_program_that_cannot_run_is_caught(self):
        with mock.patch.dict(os.environ, {"USHER_BIN": self.root}):
            self.assert_caught("program_output", "docs/A.md", self.DOCUMENT)

    def test_output_that_agrees_passes(self):
        with self.write_program("usage"):
            self.assert_clean("docs/A.md", self.DOCUMENT)

    def test_output_without_fence_is_compared_too(self):
        with self.write_program("other"):
            self.assert_caught("program_output", "docs/A.md", self.DOCUMENT.replace("```text\n", "").replace("```\n", ""))

    def test_update_makes_output_agree(self):
        with self.write_program("changed"):
            self.write("docs/A.md", self.DOCUMENT)
            with mock.patch("builtins.print"):
                check.docs_update(check.files_read(self.root))
            with open(os.path.join(self.root, "docs/A.md"), encoding="utf-8") as stream:
                self.assert_clean("docs/A.md", stream.read())


class TreeRuleTest(TreeTest):
    ROOM_TABLE = "| folder | may include |\n|---|---|\n" + "".join(
        f"| {room} | libc, {', '.join(rooms)}; never another |\n" for room, rooms in check.ROOMS.items())

    def test_architecture_without_table_is_caught(self):
        self.assert_caught("architecture", check.ARCHITECTURE, "# One\n")

    def test_architecture_that_allows_more_is_caught(self):
        self.assert_caught("architecture", check.ARCHITECTURE, self.ROOM_TABLE.replace("| core/wire | libc,", "| core/wire | libc, rm,"))

    def test_architecture_that_lacks_a_room_is_caught(self):
        self.assert_caught("architecture", check.ARCHITECTURE, re.sub(r"\| rm \|.*\n", "", self.ROOM_TABLE))

    def test_architecture_that_agrees_passes(self):
        self.assert_clean(check.ARCHITECTURE, self.ROOM_TABLE)

    def test_table_row_that_nothing_uses_is_caught(self):
        self.assert_caught("table_row_used", "rm/a.def", "/* a table */\nERROR(LATE, 1)\n")

    def test_table_row_used_only_by_tests_is_caught(self):
        self.write("tests/unit/rm/test_a.c", "int ERROR_LATE;\n")
        self.assert_caught("table_row_used", "rm/a.def", "/* a table */\nERROR(LATE, 1)\n")

    def test_table_row_used_with_prefix_passes(self):
        self.write("rm/a.c", "int e = ERROR_TOO_LATE;\n")
        self.assert_clean("rm/a.def", "/* a table */\nERROR(TOO_LATE, 1)\n")

    def test_option_that_nothing_uses_is_caught(self):
        self.assert_caught("table_row_used", "rm/a.def", "/* a table */\nOPTION(FLAG, insecure, 1)\n")

    def test_table_row_used_by_another_table_passes(self):
        self.write("rm/b.def", "/* a table */\nWIRE_ERROR(NEVER, 1, LATE)\n")
        self.assert_clean("rm/a.def", "/* a table */\nERROR(LATE, 1)\n")

    @unittest.skipUnless(check.formatter_version() == check.FORMATTER_MAJOR, "needs the version of clang-format that decides")
    def test_unformatted_file_is_caught(self):
        self.write("rm/a.c", "int  a ;\n")
        violations = check.violations_find(self.root, file_rules=(), tree_rules=(check.rule_format,))[1]
        self.assertEqual([(path, line) for path, line, _, _ in violations], [("rm/a.c", 1)])


if __name__ == "__main__":
    unittest.main()
