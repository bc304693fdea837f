/// One logical unit: SPC-4 and SBC-3 commands on a Disk. Knows nothing of iSCSI.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "stress/target/block_command.h"
#include "stress/target/config.h"
#include "stress/target/disk.h"
#include "stress/target/reservation.h"
#include "stress/target/scsi.h"

namespace holdfast::target {

class LogicalUnit {
public:
    LogicalUnit(LunConfig config, Disk disk) : config_(std::move(config)), disk_(std::move(disk)) {}

    /// Looks at a CDB before its data-out is asked for.
    [[nodiscard]] Plan plan(CdbView cdb) const;
    /// Does it. `data_out` holds what plan() wanted, or less when the initiator offered less.
    [[nodiscard]] Outcome run(CdbView cdb, Bytes data_out);

    [[nodiscard]] const LunConfig& config() const noexcept { return config_; }
    [[nodiscard]] Disk& disk() noexcept { return disk_; }
    [[nodiscard]] Reservations& reservations() noexcept { return reservations_; }
    /// The command meets a reservation of somebody else. SPC-4 table 65, SBC-3 table 13.
    [[nodiscard]] bool is_reserved_against(const Nexus& nexus, CdbView cdb) const;

private:
    [[nodiscard]] Plan plan_block(const BlockCommand& command) const;
    [[nodiscard]] Outcome run_block(const BlockCommand& command, Bytes data_out);
    [[nodiscard]] Outcome write(const BlockCommand& command, Bytes data_out);
    [[nodiscard]] Outcome verify(const BlockCommand& command, Bytes data_out);
    [[nodiscard]] Outcome write_same(const BlockCommand& command, Bytes data_out);
    [[nodiscard]] Outcome compare_and_write(const BlockCommand& command, Bytes data_out);
    [[nodiscard]] Outcome or_write(const BlockCommand& command, Bytes data_out);
    [[nodiscard]] Outcome unmap(Bytes parameters);
    [[nodiscard]] Outcome inquiry(CdbView cdb) const;
    [[nodiscard]] std::vector<std::byte> vital_page(std::uint8_t page) const;
    [[nodiscard]] std::vector<std::byte> device_identification_page() const;
    [[nodiscard]] std::vector<std::byte> block_limits_page() const;
    [[nodiscard]] Outcome mode_sense(CdbView cdb) const;
    [[nodiscard]] Outcome read_capacity_10() const;
    [[nodiscard]] Outcome service_action_in(CdbView cdb);
    [[nodiscard]] Outcome lba_status(CdbView cdb);
    [[nodiscard]] bool in_range(const BlockCommand& command) const;

    [[nodiscard]] static Outcome maintenance_in(CdbView cdb);

    LunConfig config_;
    Disk disk_;
    Reservations reservations_;
};

/// The longest READ or WRITE, as the block limits page says.
inline constexpr std::uint64_t kTransferBytesMax = 32ULL << 20;
/// The longest WRITE SAME and the most blocks in one UNMAP.
inline constexpr std::uint64_t kUnmapBlocksMax = 1ULL << 20;
inline constexpr std::uint64_t kCompareBlocksMax = 64;
inline constexpr std::uint64_t kUnmapDescriptorsMax = 256;

/// INQUIRY for a LUN that does not exist. SPC-4 section 6.6.2, peripheral qualifier 3.
[[nodiscard]] Outcome inquiry_without_unit(CdbView cdb);
[[nodiscard]] Outcome report_luns(CdbView cdb, std::span<const std::uint16_t> luns);

}  // namespace holdfast::target
