#include "initiator/login/name.h"

#include <gtest/gtest.h>

#include <string>

namespace holdfast::initiator {
namespace {

// Goal: the names that the standard shows are legal once normalised, and their normal form is
// stable.
// Rows: NAM-02, NAM-03, NAM-04, NAM-05, NAM-06
TEST(Name, ExamplesOfTheStandardAreLegal) {
    for (const char* name :
         {"iqn.2001-04.com.example:storage:diskarrays-sn-a8675309", "iqn.2001-04.com.example",
          "iqn.2001-04.com.example:storage.tape1.sys1.xyz", "eui.02004567A425678D",
          "naa.52004567BA64678D", "naa.62004567BA64678D0123456789ABCDEF",
          "iqn.1992-04.com.os-vendor.plan9:cdrom.12345"}) {
        const auto normal = normalise_name(name);
        ASSERT_TRUE(normal) << name;
        EXPECT_FALSE(judge_name(normal->view())) << name;
        EXPECT_EQ(*normalise_name(normal->view()), *normal) << name;
    }
}

// Goal: capital letters are mapped, and two spellings become one name.
// Rows: NAM-03, NAM-04
TEST(Name, CapitalsAreMapped) {
    EXPECT_EQ(normalise_name("IQN.2001-04.COM.Example:Disk")->view(),
              "iqn.2001-04.com.example:disk");
    EXPECT_EQ(*normalise_name("eui.02004567A425678D"), *normalise_name("eui.02004567a425678d"));
    EXPECT_EQ(judge_name("iqn.2001-04.com.Example"), NameError::UpperCase);
}

// Goal: 223 bytes are legal, 224 are not, and longer ones up to 64 KiB do no harm.
// Rows: NAM-01
TEST(Name, LengthIsBounded) {
    const std::string stem = "iqn.2001-04.com.example:";
    std::string name = stem + std::string(kNameBytesMax - stem.size(), 'a');
    EXPECT_EQ(name.size(), 223U);
    EXPECT_TRUE(normalise_name(name));
    for (const std::size_t size : {224U, 255U, 256U, 4096U, 65535U}) {
        name.resize(size, 'a');
        EXPECT_EQ(judge_name(name), NameError::TooLong);
        EXPECT_EQ(normalise_name(name).error(), NameError::TooLong);
    }
}

// Goal: months are 01 to 12 in two digits, years have four; all two-character months are tried.
// Rows: NAM-05
TEST(Name, DateOfAnIqnIsChecked) {
    for (int tens = 0; tens < 10; ++tens) {
        for (int ones = 0; ones < 10; ++ones) {
            const int month = tens * 10 + ones;
            const std::string name =
                "iqn.2001-" + std::to_string(tens) + std::to_string(ones) + ".com.example";
            EXPECT_EQ(!judge_name(name).has_value(), month >= 1 && month <= 12) << name;
        }
    }
    for (const char* name : {"iqn.", "iqn.2001", "iqn.2001-4.com.example", "iqn.01-04.com.example",
                             "iqn.2001.04.com.example", "iqn.200a-04.com.example",
                             "iqn.2001-0:.com.example", "iqn.20010-4.com.example"}) {
        EXPECT_EQ(judge_name(name), NameError::BadDate) << name;
    }
}

// Goal: a naming authority follows the date; a colon string is optional and free.
// Rows: NAM-05
TEST(Name, AuthorityOfAnIqnIsChecked) {
    for (const char* name : {"iqn.2001-04", "iqn.2001-04.", "iqn.2001-04:disk", "iqn.2001-04.:disk",
                             "iqn.2001-04..com", "iqn.2001-04.com.", "iqn.2001-04.com..example",
                             "iqn.2001-04.com.:x"}) {
        EXPECT_EQ(judge_name(name), NameError::BadAuthority) << name;
    }
    for (const char* name : {"iqn.2001-04.com", "iqn.2001-04.com:", "iqn.2001-04.com.example::..:",
                             "iqn.2001-04.com.example:a.b-c:d"}) {
        EXPECT_FALSE(judge_name(name)) << name;
    }
}

// Goal: eui has 16 hexadecimal digits, naa 16 or 32; all lengths up to 40.
// Rows: NAM-06
TEST(Name, DigitsOfEuiAndNaaAreCounted) {
    for (std::size_t count = 0; count <= 40; ++count) {
        const std::string digits(count, 'f');
        EXPECT_EQ(!judge_name("eui." + digits), count == 16) << count;
        EXPECT_EQ(!judge_name("naa." + digits), count == 16 || count == 32) << count;
    }
    EXPECT_EQ(judge_name("eui.02004567a425678g"), NameError::BadDigits);
    EXPECT_EQ(judge_name("naa.02004567a425678:"), NameError::BadDigits);
}

// Goal: other types are unknown.
// Rows: NAM-02
TEST(Name, UnknownTypesAreRefused) {
    for (const char* name : {"", "i", "iqn", "example", "wwn.0123456789abcdef", ".iqn", " iqn."}) {
        EXPECT_EQ(judge_name(name), NameError::UnknownType) << name;
    }
}

// Goal: of the 128 ASCII characters exactly those that RFC 3722 leaves are legal.
// Rows: NAM-02, NAM-08
TEST(Name, AsciiRepertoireIsExact) {
    for (int c = 0; c < 128; ++c) {
        const std::string name = std::string{"iqn.2001-04.com.example:a"} + static_cast<char>(c);
        const bool legal =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == ':';
        const bool mapped = c >= 'A' && c <= 'Z';
        EXPECT_EQ(!judge_name(name), legal) << c;
        EXPECT_EQ(normalise_name(name).has_value(), legal || mapped) << c;
    }
}

// Goal: beyond ASCII valid UTF-8 is taken unless RFC 3722 prohibits the character.
// Rows: NAM-02
TEST(Name, UnicodeIsTakenWhenValidAndNotProhibited) {
    const std::string stem = "iqn.2001-04.com.example:";
    for (const char* legal : {"\u00e4", "\u03b2", "\u4e2d", "\U00020000"}) {
        EXPECT_FALSE(judge_name(stem + legal)) << legal;
    }
    for (const char* bad :
         {"\u00a0",       "\u0080",           "\u3000",           "\u3002",
          "\u200d",       "\u2028",           "\ue000",           "\ufeff",
          "\ufffd",       "\U000e0041",       "\U0010ffff",       "\xff",
          "\xc3",         "\xc3\x28",         "\xc0\xaf",         "\xe0\x80\xaf",
          "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf0\x80\x80\xaf", "\xf8\x88\x80\x80\x80"}) {
        EXPECT_EQ(judge_name(stem + bad), NameError::BadCharacter);
    }
}

// Goal: the SCSI port name is the name, ",i,0x", twelve digits and a NUL.
// Rows: NAM-09
TEST(Name, PortNameHasTheIsidInTwelveDigits) {
    IscsiName name;
    ASSERT_TRUE(name.try_assign("iqn.2001-04.com.example"));
    const auto port = initiator_port_name(name, Isid{0x0023'4567'89abULL});
    EXPECT_EQ(port.view(), std::string_view("iqn.2001-04.com.example,i,0x0023456789ab\0", 41));
    const std::string longest = "iqn.2001-04.com.example:" + std::string(199, 'z');
    ASSERT_TRUE(name.try_assign(longest));
    EXPECT_EQ(initiator_port_name(name, Isid{}).size(), 223U + 18U);
}

// Goal: ISIDs of the random format are legal whatever the random bits; the reserved format is not.
// Rows: SID-01
TEST(Isid, RandomFormatIsLegalAndElevenIsNot) {
    for (const std::uint32_t random : {0U, 1U, 0xff'ffffU, 0xffff'ffffU}) {
        for (const std::uint16_t qualifier : {std::uint16_t{0}, std::uint16_t{0xffff}}) {
            const Isid isid = random_isid(random, qualifier);
            EXPECT_TRUE(is_legal_isid(isid));
            EXPECT_EQ(isid.raw() >> 40, 0x80U);
            EXPECT_EQ(isid.raw() & 0xffffU, qualifier);
        }
    }
    for (std::uint64_t format = 0; format < 4; ++format) {
        EXPECT_EQ(is_legal_isid(Isid{format << 46}), format != 3);
    }
    EXPECT_FALSE(is_legal_isid(Isid{1ULL << 48}));
}

// Goal: UTF-8 is told from other bytes, and NUL is none of it.
// Rows: NEG-21
TEST(Utf8, IsRecognised) {
    EXPECT_TRUE(is_utf8(""));
    EXPECT_TRUE(is_utf8("plain \u00e4 \U0001f4be"));
    EXPECT_FALSE(is_utf8(std::string_view{"a\0b", 3}));
    EXPECT_FALSE(is_utf8("\xe4"));
}

}  // namespace
}  // namespace holdfast::initiator
