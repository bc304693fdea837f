#include "stress/target/block_command.h"

#include <algorithm>
#include <array>

namespace holdfast::target {
namespace {

enum class Form : std::uint8_t { Six, Ten, Twelve, Sixteen, CompareSixteen };

struct Entry {
    std::uint8_t opcode;
    BlockAction action;
    Form form;
};

constexpr std::array kCommands{
    Entry{scsi_op::kRead10, BlockAction::Read, Form::Ten},
    Entry{scsi_op::kWrite10, BlockAction::Write, Form::Ten},
    Entry{scsi_op::kRead16, BlockAction::Read, Form::Sixteen},
    Entry{scsi_op::kWrite16, BlockAction::Write, Form::Sixteen},
    Entry{scsi_op::kRead6, BlockAction::Read, Form::Six},
    Entry{scsi_op::kWrite6, BlockAction::Write, Form::Six},
    Entry{scsi_op::kRead12, BlockAction::Read, Form::Twelve},
    Entry{scsi_op::kWrite12, BlockAction::Write, Form::Twelve},
    Entry{scsi_op::kWriteVerify10, BlockAction::WriteVerify, Form::Ten},
    Entry{scsi_op::kWriteVerify12, BlockAction::WriteVerify, Form::Twelve},
    Entry{scsi_op::kWriteVerify16, BlockAction::WriteVerify, Form::Sixteen},
    Entry{scsi_op::kVerify10, BlockAction::Verify, Form::Ten},
    Entry{scsi_op::kVerify12, BlockAction::Verify, Form::Twelve},
    Entry{scsi_op::kVerify16, BlockAction::Verify, Form::Sixteen},
    Entry{scsi_op::kWriteSame10, BlockAction::WriteSame, Form::Ten},
    Entry{scsi_op::kWriteSame16, BlockAction::WriteSame, Form::Sixteen},
    Entry{scsi_op::kSyncCache10, BlockAction::SyncCache, Form::Ten},
    Entry{scsi_op::kSyncCache16, BlockAction::SyncCache, Form::Sixteen},
    Entry{scsi_op::kPrefetch10, BlockAction::Prefetch, Form::Ten},
    Entry{scsi_op::kPrefetch16, BlockAction::Prefetch, Form::Sixteen},
    Entry{scsi_op::kCompareAndWrite, BlockAction::CompareAndWrite, Form::CompareSixteen},
    Entry{scsi_op::kOrWrite16, BlockAction::OrWrite, Form::Sixteen},
};

void read_place(CdbView cdb, Form form, BlockCommand& command) {
    switch (form) {
    case Form::Six:
        command.lba = be24_at<1>(cdb) & 0x1f'ffffU;
        command.blocks = u8_at<4>(cdb) == 0 ? 256 : u8_at<4>(cdb);
        break;
    case Form::Ten:
        command.lba = be32_at<2>(cdb);
        command.blocks = be16_at<7>(cdb);
        break;
    case Form::Twelve:
        command.lba = be32_at<2>(cdb);
        command.blocks = be32_at<6>(cdb);
        break;
    case Form::Sixteen:
        command.lba = be64_at<2>(cdb);
        command.blocks = be32_at<10>(cdb);
        break;
    case Form::CompareSixteen:
        command.lba = be64_at<2>(cdb);
        command.blocks = u8_at<13>(cdb);
        break;
    }
}

}  // namespace

std::optional<BlockCommand> parse_block_command(CdbView cdb) {
    const auto found = std::ranges::find(kCommands, u8_at<0>(cdb), &Entry::opcode);
    if (found == kCommands.end()) return {};
    BlockCommand command{.action = found->action};
    read_place(cdb, found->form, command);
    if (found->form == Form::Six) return command;
    const std::uint8_t bits = u8_at<1>(cdb);
    if (command.action == BlockAction::SyncCache || command.action == BlockAction::Prefetch)
        return command;
    command.protect = bits >> 5;
    if (command.action == BlockAction::WriteSame) {
        command.anchor = (bits & 0x10U) != 0;
        command.unmap = (bits & 0x08U) != 0;
        command.no_data_out = found->form == Form::Sixteen && (bits & 0x01U) != 0;
        return command;
    }
    if (command.action == BlockAction::Verify || command.action == BlockAction::WriteVerify) {
        command.byte_check = (bits >> 1) & 3U;
        return command;
    }
    command.fua = (bits & 0x08U) != 0;
    return command;
}

}  // namespace holdfast::target
