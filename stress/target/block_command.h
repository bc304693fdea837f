/// The block commands of SBC-3, read from their 6, 10, 12 and 16-byte forms into one shape.
#pragma once

#include <cstdint>
#include <optional>

#include "stress/target/scsi.h"

namespace holdfast::target {

enum class BlockAction : std::uint8_t {
    Read,
    Write,
    WriteVerify,
    Verify,
    WriteSame,
    SyncCache,
    Prefetch,
    CompareAndWrite,
    OrWrite,
};

struct BlockCommand {
    BlockAction action = BlockAction::Read;
    std::uint64_t lba = 0;
    /// Zero blocks mean none, except: all the rest for SyncCache and WriteSame, 256 for 6-byte
    /// forms (already resolved here).
    std::uint64_t blocks = 0;
    bool fua = false;
    /// BYTCHK of the verify commands.
    std::uint8_t byte_check = 0;
    /// RDPROTECT, WRPROTECT, VRPROTECT, ORPROTECT: three bits.
    std::uint8_t protect = 0;
    bool unmap = false;
    bool anchor = false;
    /// WRITE SAME(16) without a data-out buffer.
    bool no_data_out = false;
};

/// Nothing when the operation code is no block command.
[[nodiscard]] std::optional<BlockCommand> parse_block_command(CdbView cdb);

}  // namespace holdfast::target
