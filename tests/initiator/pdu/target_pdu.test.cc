#include "initiator/pdu/target_pdu.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "tests/initiator/pdu/headers.h"

namespace holdfast::initiator {
namespace {

using testing::Header;

/// The violation that a view finds, or nothing.
template <class View>
std::optional<Violation> judged(const Header& header) {
    const auto view = View::parse(header.bhs());
    if (view) return {};
    return view.error();
}

/// One row for each view: a header it takes, and its judge.
struct Kind {
    Header good;
    std::function<std::optional<Violation>(const Header&)> judge;
};

std::vector<Kind> all_kinds() {
    return {{testing::nop_in(), judged<NopInView>},
            {testing::scsi_response(), judged<ScsiResponseView>},
            {testing::task_response(), judged<TaskManagementResponseView>},
            {testing::login_response(), judged<LoginResponseView>},
            {testing::text_response(), judged<TextResponseView>},
            {testing::data_in(), judged<DataInView>},
            {testing::logout_response(), judged<LogoutResponseView>},
            {testing::r2t(), judged<R2tView>},
            {testing::async_message(), judged<AsyncMessageView>},
            {testing::reject(), judged<RejectView>}};
}

// Goal: of the 256 first bytes exactly the ten opcodes of a target are taken, whatever the two
// reserved bits above them say; unassigned, vendor and initiator opcodes are violations.
// Rows: PDU-03, PDU-08
TEST(Opcode, OnlyTargetOpcodesAreTaken) {
    for (unsigned first = 0; first < 256; ++first) {
        const unsigned opcode = first & 0x3fU;
        const bool assigned = (opcode >= 0x20 && opcode <= 0x26) || opcode == 0x31 ||
                              opcode == 0x32 || opcode == 0x3f;
        const auto found = opcode_of(Header{static_cast<std::uint8_t>(first)}.bhs());
        ASSERT_EQ(found.has_value(), assigned) << first;
        if (assigned) {
            EXPECT_EQ(static_cast<unsigned>(*found), opcode);
        } else {
            EXPECT_EQ(found.error(), Violation::OpcodeUnassigned);
        }
    }
}

// Goal: a view takes its own opcode only, also when another target opcode comes.
// Rows: PDU-08, LOG-02
TEST(TargetPdu, ViewOfAnotherOpcodeDoesNotExist) {
    const auto kinds = all_kinds();
    for (std::size_t i = 0; i < kinds.size(); ++i) {
        for (std::size_t j = 0; j < kinds.size(); ++j) {
            const auto wrong = kinds[i].judge(kinds[j].good);
            if (i == j) {
                EXPECT_FALSE(wrong.has_value()) << i;
            } else {
                EXPECT_EQ(wrong, Violation::OpcodeUnexpected) << i << " " << j;
            }
        }
        Header vendor = kinds[i].good;
        vendor.set8(0, 0x3c);
        EXPECT_EQ(kinds[i].judge(vendor), Violation::OpcodeUnassigned);
    }
}

// Goal: no response has additional header segments, be they announced as 4 or as 1020 bytes.
// Rows: PDU-11, PDU-10
TEST(TargetPdu, AdditionalHeaderSegmentsAreRefused) {
    for (const Kind& kind : all_kinds()) {
        for (unsigned words = 1; words < 256; ++words) {
            Header header = kind.good;
            header.set8(4, static_cast<std::uint8_t>(words));
            ASSERT_EQ(kind.judge(header), Violation::AhsInResponse);
        }
    }
}

// Goal: bits and fields that have no meaning in a PDU change nothing.
// Method: everything that section 11 draws as reserved, or as a constant, is filled with ones.
// Rows: PDU-03, PDU-21
TEST(TargetPdu, ReservedBitsAreIgnored) {
    const std::vector<std::vector<std::size_t>> reserved{
        {2, 3, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47},                // NOP-In
        {8, 9, 10, 11, 12, 13, 14, 15, 40, 41, 42, 43, 44, 45, 46, 47},        // SCSI Response
        {3, 8, 9, 10, 11, 12, 13, 14, 15, 20, 21, 22, 23, 36, 37, 40, 47},     // TMF Response
        {20, 21, 22, 23, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47},              // Login Response
        {2, 3, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47},                // Text Response
        {2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 44, 45, 46, 47},  // Data-In, no S
        {3, 8, 9, 10, 11, 12, 13, 14, 15, 20, 21, 22, 23, 36, 37, 44, 47},     // Logout Response
        {2, 3},                                                                // R2T
        {2, 3, 16, 17, 18, 19, 20, 21, 22, 23, 44, 45, 46, 47},                // Async Message
        {3, 8, 9, 15, 16, 17, 18, 19, 20, 23, 40, 41, 44, 47},                 // Reject
    };
    const std::vector<std::uint8_t> reserved_flags{0xff, 0xe0, 0xff, 0x30, 0x3f,
                                                   0x3e, 0xff, 0xff, 0xff, 0xff};
    const auto kinds = all_kinds();
    ASSERT_EQ(kinds.size(), reserved.size());
    for (std::size_t i = 0; i < kinds.size(); ++i) {
        Header header = kinds[i].good;
        for (const std::size_t offset : reserved[i]) header.set8(offset, 0xff);
        header.set8(0, header.at8(0) | 0xc0);
        header.set8(1, header.at8(1) | reserved_flags[i]);
        EXPECT_FALSE(kinds[i].judge(header).has_value()) << i;
    }
}

// Goal: the constant F bit of a PDU that is alone in its sequence is not insisted upon.
// Rows: PDU-21
TEST(TargetPdu, ConstantFinalBitIsNotInsistedUpon) {
    for (const std::size_t i : {0U, 1U, 2U, 6U, 7U, 8U, 9U}) {
        const Kind kind = all_kinds()[i];
        Header header = kind.good;
        header.set8(1, 0);
        EXPECT_FALSE(kind.judge(header).has_value()) << i;
    }
}

// Goal: every multi-byte field is read with its most significant byte first.
// Rows: PDU-01, PDU-15, SEQ-07
TEST(TargetPdu, FieldsAreBigEndian) {
    const Header header = Header{0x31}
                              .data(0)
                              .set64(8, 0x0102'0304'0506'0708)
                              .itt(0x1112'1314)
                              .ttt(0x2122'2324)
                              .set32(24, 0x3132'3334)
                              .set32(28, 0x4142'4344)
                              .set32(32, 0x5152'5354)
                              .set32(36, 0x6162'6364)
                              .set32(40, 0x7172'7374)
                              .set32(44, 0x0182'8384);
    const auto view = R2tView::parse(header.bhs());
    ASSERT_TRUE(view);
    EXPECT_EQ(view->lun(), Lun{0x0102'0304'0506'0708});
    EXPECT_EQ(view->task_tag(), Itt{0x1112'1314});
    EXPECT_EQ(view->transfer_tag(), Ttt{0x2122'2324});
    EXPECT_EQ(view->numbers().stat_sn, StatSn{0x3132'3334});
    EXPECT_EQ(view->numbers().expected_cmd_sn, CmdSn{0x4142'4344});
    EXPECT_EQ(view->numbers().max_cmd_sn, CmdSn{0x5152'5354});
    EXPECT_EQ(view->r2t_sn(), R2tSn{0x6162'6364});
    EXPECT_EQ(view->buffer_offset(), 0x7172'7374U);
    EXPECT_EQ(view->desired_bytes(), 0x0182'8384U);
    EXPECT_EQ(data_segment_bytes(Header{0x25}.data(0x010203).bhs()), 0x010203U);
}

// Goal: answers to a task name one; the reserved tag names none.
// Rows: PDU-16, PDU-18
TEST(TargetPdu, AnswersToTasksNeedATaskTag) {
    const auto kinds = all_kinds();
    for (const std::size_t i : {1U, 2U, 4U, 5U, 6U, 7U}) {
        Header header = kinds[i].good;
        header.itt(0xffff'ffff);
        EXPECT_EQ(kinds[i].judge(header), Violation::TaskTagReserved) << i;
    }
}

// Goal: of the 256 response codes 0 and 1 and the vendor's are taken, the reserved ones are not.
// Rows: RSP-02, PDU-04
TEST(ScsiResponse, ReservedResponseCodesAreViolations) {
    for (unsigned code = 0; code < 256; ++code) {
        const Header header = testing::scsi_response().set8(2, static_cast<std::uint8_t>(code));
        const auto view = ScsiResponseView::parse(header.bhs());
        ASSERT_EQ(view.has_value(), code < 2 || code > 0x7f) << code;
        if (!view) {
            EXPECT_EQ(view.error(), Violation::ResponseCodeReserved);
        } else {
            EXPECT_EQ(view->is_completed(), code == 0);
        }
    }
}

// Goal: residuals count only with their bit, and never both ways.
// Method: all values of byte 1, with marks in both residual fields.
// Rows: RES-01, RES-02, RED-13
TEST(ScsiResponse, ResidualsFollowTheirBits) {
    for (unsigned flags = 0; flags < 256; ++flags) {
        const Header header = testing::scsi_response()
                                  .set8(1, static_cast<std::uint8_t>(flags))
                                  .set32(40, 40)
                                  .set32(44, 44);
        const bool read_over = (flags & 0x10U) != 0;
        const bool read_under = (flags & 0x08U) != 0;
        const bool over = (flags & 0x04U) != 0;
        const bool under = (flags & 0x02U) != 0;
        const auto view = ScsiResponseView::parse(header.bhs());
        if ((over && under) || (read_over && read_under)) {
            ASSERT_FALSE(view);
            EXPECT_EQ(view.error(), Violation::ResidualBothWays);
            continue;
        }
        ASSERT_TRUE(view) << flags;
        const auto due = [](bool is_over, bool is_under, std::uint32_t count) {
            if (is_over) return Residual{ResidualKind::Overflow, count};
            if (is_under) return Residual{ResidualKind::Underflow, count};
            return Residual{};
        };
        EXPECT_EQ(view->residual(), due(over, under, 44));
        EXPECT_EQ(view->bidirectional_read_residual(), due(read_over, read_under, 40));
    }
}

// Goal: with a failure response status and flags mean nothing, whatever they say.
// Rows: RSP-01
TEST(ScsiResponse, FailureHidesStatusAndFlags) {
    for (unsigned status = 0; status < 256; ++status) {
        const Header header = testing::scsi_response()
                                  .set8(1, 0xff)
                                  .set8(2, 1)
                                  .set8(3, static_cast<std::uint8_t>(status))
                                  .set32(44, 512);
        const auto view = ScsiResponseView::parse(header.bhs());
        ASSERT_TRUE(view);
        EXPECT_FALSE(view->is_completed());
        EXPECT_EQ(view->status(), ScsiStatus::Good);
        EXPECT_EQ(view->residual(), Residual{});
        EXPECT_EQ(view->bidirectional_read_residual(), Residual{});
    }
}

// Goal: CHECK CONDITION without room for a sense length is a format error; other statuses need no
// data.
// Rows: PDU-20, RSP-03
TEST(ScsiResponse, CheckConditionNeedsSense) {
    for (unsigned status = 0; status < 256; ++status) {
        for (std::uint32_t bytes = 0; bytes < 4; ++bytes) {
            const Header header =
                testing::scsi_response().set8(3, static_cast<std::uint8_t>(status)).data(bytes);
            const auto view = ScsiResponseView::parse(header.bhs());
            ASSERT_EQ(view.has_value(), status != 2 || bytes >= 2);
            if (!view) {
                EXPECT_EQ(view.error(), Violation::CheckConditionWithoutSense);
            } else {
                EXPECT_EQ(static_cast<unsigned>(view->status()), status);
                EXPECT_EQ(view->data_bytes(), bytes);
            }
        }
    }
}

// Goal: the fields that recovery needs stand where section 11.4 puts them.
// Rows: RSP-09, RED-02
TEST(ScsiResponse, SnackTagAndDataCountAreRead) {
    const Header header = testing::scsi_response().ttt(0xabcd).set32(36, 12);
    const auto view = ScsiResponseView::parse(header.bhs());
    ASSERT_TRUE(view);
    EXPECT_EQ(view->snack_tag(), SnackTag{0xabcd});
    EXPECT_EQ(view->expected_data_sn(), DataSn{12});
}

// Goal: of the 256 answers to a task management function the assigned ones are taken.
// Rows: PDU-04, TMF-13
TEST(TaskManagementResponse, ReservedResponsesAreViolations) {
    for (unsigned code = 0; code < 256; ++code) {
        const Header header = testing::task_response().set8(2, static_cast<std::uint8_t>(code));
        const auto view = TaskManagementResponseView::parse(header.bhs());
        ASSERT_EQ(view.has_value(), code <= 7 || code == 255) << code;
        if (view) {
            EXPECT_EQ(static_cast<unsigned>(view->response()), code);
        } else {
            EXPECT_EQ(view.error(), Violation::TaskResponseReserved);
        }
    }
}

// Goal: PDUs that MUST NOT carry data are refused with one byte of it.
// Rows: R2T-02, PDU-09
TEST(TargetPdu, DataWhereNoneMayBeIsRefused) {
    const auto kinds = all_kinds();
    for (const std::size_t i : {2U, 6U, 7U}) {
        for (const std::uint32_t bytes : {1U, 48U, 0xff'ffffU}) {
            Header header = kinds[i].good;
            header.data(bytes);
            EXPECT_EQ(kinds[i].judge(header), Violation::DataNotAllowed) << i;
        }
    }
}

// Goal: all 256 flag bytes of a successful login response are judged as section 6.3 tables them.
// Rows: LOG-12, LOG-15, PDU-04
TEST(LoginResponse, StagesMoveOnlyAsTabled) {
    for (unsigned flags = 0; flags < 256; ++flags) {
        const Header header = testing::login_response().set8(1, static_cast<std::uint8_t>(flags));
        const bool transit = (flags & 0x80U) != 0;
        const bool continued = (flags & 0x40U) != 0;
        const unsigned current = flags >> 2 & 3U;
        const unsigned next = flags & 3U;
        const bool moves =
            (current == 0 && (next == 1 || next == 3)) || (current == 1 && next == 3);
        const bool legal = current < 2 && !(transit && continued) && (!transit || moves);
        const auto view = LoginResponseView::parse(header.bhs());
        ASSERT_EQ(view.has_value(), legal) << flags;
        if (!view) continue;
        EXPECT_EQ(view->is_transit(), transit);
        EXPECT_EQ(view->is_continued(), continued);
        EXPECT_EQ(static_cast<unsigned>(view->current_stage()), current);
        if (transit) {
            EXPECT_EQ(static_cast<unsigned>(view->next_stage()), next);
        }
    }
}

// Goal: all 65536 status words: classes above 3 are reserved, success has no details, and with a
// refusal nothing else in the header is judged.
// Rows: LOG-22, PDU-04
TEST(LoginResponse, RefusalHidesTheRestOfTheHeader) {
    for (unsigned status = 0; status < 0x10000; ++status) {
        const unsigned status_class = status >> 8;
        const Header header = testing::login_response()
                                  .set16(36, static_cast<std::uint16_t>(status))
                                  .set8(1, status_class == 0 ? 0x81 : 0xff);
        const auto view = LoginResponseView::parse(header.bhs());
        ASSERT_EQ(view.has_value(), status == 0 || (status_class >= 1 && status_class <= 3))
            << status;
        if (!view) {
            EXPECT_EQ(view.error(), Violation::LoginStatusReserved);
            continue;
        }
        EXPECT_EQ(static_cast<unsigned>(view->status_class()), status_class);
        EXPECT_EQ(view->status_detail(), status & 0xffU);
    }
}

// Goal: identifiers of a login response are read in full width.
// Rows: SID-04, LOG-05
TEST(LoginResponse, IdentifiersAreRead) {
    const Header header =
        testing::login_response().set64(8, 0x8012'3456'789a'beefULL).set8(2, 3).set8(3, 2);
    const auto view = LoginResponseView::parse(header.bhs());
    ASSERT_TRUE(view);
    EXPECT_EQ(view->isid(), Isid{0x8012'3456'789aULL});
    EXPECT_EQ(view->tsih(), Tsih{0xbeef});
    EXPECT_EQ(view->version_max(), 3);
    EXPECT_EQ(view->version_active(), 2);
}

// Goal: F, C and the transfer tag of a text response agree; with F the tag is ignored.
// Rows: TXT-03, TXT-04
TEST(TextResponse, FinalContinueAndTagAgree) {
    for (unsigned flags = 0; flags < 256; ++flags) {
        for (const std::uint32_t tag : {0U, 5U, 0xffff'ffffU}) {
            const Header header =
                testing::text_response().set8(1, static_cast<std::uint8_t>(flags)).ttt(tag);
            const bool is_final = (flags & 0x80U) != 0;
            const bool is_continued = (flags & 0x40U) != 0;
            const auto view = TextResponseView::parse(header.bhs());
            if (is_final && is_continued) {
                EXPECT_EQ(view.error(), Violation::TextFinalWithContinue);
            } else if (!is_final && tag == 0xffff'ffffU) {
                EXPECT_EQ(view.error(), Violation::TextPartialWithoutTag);
            } else {
                ASSERT_TRUE(view);
                EXPECT_EQ(view->transfer_tag(), is_final ? kTttReserved : Ttt{tag});
            }
        }
    }
}

// Goal: status rides on a Data-In only with F, only when it is a good one, and with one residual at
// most; without S none of these fields is looked at.
// Method: all flag bytes with all status bytes.
// Rows: RED-08, RED-10, RES-02, STA-03
TEST(DataIn, StatusNeedsFinalAndGood) {
    for (unsigned flags = 0; flags < 256; ++flags) {
        for (unsigned status = 0; status < 256; ++status) {
            const Header header = testing::data_in()
                                      .set8(1, static_cast<std::uint8_t>(flags))
                                      .set8(3, static_cast<std::uint8_t>(status))
                                      .set32(44, 99);
            const bool has_status = (flags & 1U) != 0;
            const bool is_good = status == 0 || status == 4 || status == 0x10 || status == 0x14;
            const bool both = (flags & 6U) == 6U;
            const bool legal = !has_status || ((flags & 0x80U) != 0 && !both && is_good);
            const auto view = DataInView::parse(header.bhs());
            ASSERT_EQ(view.has_value(), legal) << flags << " " << status;
            if (!view) continue;
            EXPECT_EQ(view->has_status(), has_status);
            EXPECT_EQ(static_cast<unsigned>(view->status()), has_status ? status : 0);
            if (!has_status) {
                EXPECT_EQ(view->residual(), Residual{});
            }
            if (has_status && (flags & 2U) != 0) {
                EXPECT_EQ(view->residual(), (Residual{ResidualKind::Underflow, 99}));
            }
        }
    }
}

// Goal: an offset and a length that wrap 32 bits never reach the session.
// Rows: RED-03, R2T-02
TEST(DataIn, OffsetAndLengthNeverWrap) {
    for (const std::uint32_t offset : {0U, 1U, 0xff00'0000U, 0xfeff'ffffU, 0xffff'fff0U, ~0U}) {
        for (const std::uint32_t length : {1U, 0x10U, 0x100U, 0xff'ffffU}) {
            const bool wraps = std::uint64_t{offset} + length > 0xffff'ffffULL;
            const Header in = testing::data_in().set32(40, offset).data(length);
            EXPECT_EQ(judged<DataInView>(in).has_value(), wraps);
            const Header wanted = testing::r2t().set32(40, offset).set32(44, length);
            EXPECT_EQ(judged<R2tView>(wanted).has_value(), wraps);
        }
    }
    EXPECT_EQ(judged<DataInView>(testing::data_in().set32(40, 0xffff'fff0).data(0x100)),
              Violation::DataInOffsetWraps);
    EXPECT_EQ(judged<R2tView>(testing::r2t().set32(40, 0xffff'fe00).set32(44, 0x400)),
              Violation::R2tOffsetWraps);
}

// Goal: an empty Data-In is a Data-In.
// Rows: RED-04
TEST(DataIn, EmptySegmentIsLegal) {
    const Header header = testing::data_in().set8(1, 0).set32(36, 3).set32(40, 4096);
    const auto view = DataInView::parse(header.bhs());
    ASSERT_TRUE(view);
    EXPECT_EQ(view->data_bytes(), 0U);
    EXPECT_EQ(view->data_sn(), DataSn{3});
    EXPECT_EQ(view->buffer_offset(), 4096U);
    EXPECT_FALSE(view->is_final());
}

// Goal: an R2T asks for something and names a tag.
// Rows: R2T-02
TEST(ReadyToTransfer, WantsSomethingUnderATag) {
    EXPECT_EQ(judged<R2tView>(testing::r2t().set32(44, 0)), Violation::R2tWantsNothing);
    EXPECT_EQ(judged<R2tView>(testing::r2t().ttt(0xffff'ffff)), Violation::R2tWithoutTransferTag);
    EXPECT_EQ(judged<R2tView>(testing::r2t().ttt(0)), std::nullopt);
}

// Goal: of the 256 codes of a logout response, an async message and a reject the assigned ones are
// taken.
// Rows: LGO-06, ASY-07, REJ-05, PDU-04
TEST(TargetPdu, UnassignedCodesAreViolations) {
    for (unsigned code = 0; code < 256; ++code) {
        const auto byte = static_cast<std::uint8_t>(code);
        const auto logout = judged<LogoutResponseView>(testing::logout_response().set8(2, byte));
        EXPECT_EQ(logout.has_value(), code > 3);
        const auto event = judged<AsyncMessageView>(testing::async_message().set8(36, byte));
        EXPECT_EQ(event.has_value(), code > 5 && code < 248);
        const auto reason = judged<RejectView>(testing::reject().set8(2, byte));
        EXPECT_EQ(reason.has_value(), code < 2 || code > 0x0c);
    }
}

// Goal: the vendor's events are one kind, and their code stays readable.
// Rows: ASY-07
TEST(AsyncMessage, ParametersAndVendorCodesAreRead) {
    const Header header = testing::async_message()
                              .set8(36, 250)
                              .set8(37, 17)
                              .set16(38, 1)
                              .set16(40, 2)
                              .set16(42, 3)
                              .set64(8, 5);
    const auto view = AsyncMessageView::parse(header.bhs());
    ASSERT_TRUE(view);
    EXPECT_EQ(view->event(), AsyncEvent::Vendor);
    EXPECT_EQ(view->event_code(), 250);
    EXPECT_EQ(view->vendor_code(), 17);
    EXPECT_EQ(view->parameter1(), 1);
    EXPECT_EQ(view->parameter2(), 2);
    EXPECT_EQ(view->parameter3(), 3);
    EXPECT_EQ(view->lun(), Lun{5});
}

// Goal: a reject says whether it brought our whole header; shorter and longer data are legal.
// Rows: REJ-01, REJ-10
TEST(Reject, TellsWhetherTheHeaderIsWhole) {
    for (const std::uint32_t bytes : {0U, 1U, 47U, 48U, 49U, 8192U}) {
        const Header header = testing::reject().data(bytes).set32(36, 77);
        const auto view = RejectView::parse(header.bhs());
        ASSERT_TRUE(view);
        EXPECT_EQ(view->has_rejected_header(), bytes >= 48);
        EXPECT_EQ(view->next_data_or_r2t_sn(), 77U);
    }
}

// Goal: logout times are read as they stand.
// Rows: LGO-07
TEST(LogoutResponse, TimesAreRead) {
    const Header header = testing::logout_response().set16(40, 3600).set16(42, 20);
    const auto view = LogoutResponseView::parse(header.bhs());
    ASSERT_TRUE(view);
    EXPECT_EQ(view->result(), LogoutResult::Closed);
    EXPECT_EQ(view->time2wait_s(), 3600);
    EXPECT_EQ(view->time2retain_s(), 20);
}

// Goal: the four combinations of tags in a NOP-In, with and without data.
// Rows: PDU-20, NOP-01, NOP-02
TEST(NopIn, TagsSayWhatItIs) {
    const Header none = testing::nop_in();
    const Header ping = testing::nop_in().ttt(3).set64(8, 5);
    const Header echo = testing::nop_in().itt(4).data(100);
    const Header both = testing::nop_in().itt(4).ttt(3);
    const auto info = NopInView::parse(none.bhs());
    ASSERT_TRUE(info);
    EXPECT_FALSE(info->is_answer() || info->wants_answer());
    const auto asks = NopInView::parse(ping.bhs());
    ASSERT_TRUE(asks);
    EXPECT_TRUE(asks->wants_answer());
    EXPECT_EQ(asks->lun(), Lun{5});
    EXPECT_EQ(asks->transfer_tag(), Ttt{3});
    const auto answers = NopInView::parse(echo.bhs());
    ASSERT_TRUE(answers);
    EXPECT_TRUE(answers->is_answer());
    EXPECT_EQ(answers->data_bytes(), 100U);
    EXPECT_EQ(judged<NopInView>(both), Violation::NopInBothTags);
    EXPECT_EQ(judged<NopInView>(testing::nop_in().data(1)), Violation::NopInUnsolicitedData);
    EXPECT_EQ(judged<NopInView>(testing::nop_in().ttt(3).data(1)), Violation::NopInUnsolicitedData);
}

}  // namespace
}  // namespace holdfast::initiator
